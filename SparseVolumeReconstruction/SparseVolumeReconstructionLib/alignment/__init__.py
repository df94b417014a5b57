"""Where the slices lie and what their grey values mean: frame and intensity map by evidence."""
