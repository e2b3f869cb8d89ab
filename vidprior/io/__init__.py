"""Files: video, images, masks, .npz, atomic writing."""
