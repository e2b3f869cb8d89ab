"""The generator, its layers and convolutions, VGG16, and the published layout."""
