"""Where an adapter looked: scores of cells, laid over the photograph. Arrays in, arrays out."""
