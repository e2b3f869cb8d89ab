"""Optical flow: estimation by DIS, the hand-over to PWC-Net, the flow file, warping."""
