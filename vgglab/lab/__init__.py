"""The laboratory: images, training, experiments, small networks and what is seen inside them."""
