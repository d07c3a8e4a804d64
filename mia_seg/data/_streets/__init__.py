"""How a procedural street scene is painted, in the order in which a painter would: sky, ground, houses, life."""
