"""From a request to a result: align the slices, condition the prior, write volumes with provenance."""
