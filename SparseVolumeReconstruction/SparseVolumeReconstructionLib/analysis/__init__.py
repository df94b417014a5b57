"""Questions one can ask of an exact posterior: what to scan next, where a slice lies, what is improbable."""
