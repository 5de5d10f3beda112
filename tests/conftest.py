"""Being here, this file puts tests/ on the path: every test can import the helper modules beside it."""
