"""Image-to-image models: one contrast of a head from others, on scanners that they have not seen."""
