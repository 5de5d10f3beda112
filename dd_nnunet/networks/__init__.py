"""Floor 4: diffusion U-Net, segmenter and decoder features."""
