"""What is said of an attack: metrics joined with membership, controls, and the results that keep both."""
