"""How a world's capital is divided among its active strategies."""
