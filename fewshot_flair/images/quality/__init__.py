"""Is it a photograph of a retina, and can it be graded: measures, and the rules on them."""
