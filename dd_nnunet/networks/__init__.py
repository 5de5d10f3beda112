"""Floor 5: diffusion U-Net, segmenter and decoder features."""
