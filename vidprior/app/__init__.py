"""The page: `vidprior app`."""
