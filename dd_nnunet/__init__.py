"""dd_nnunet: self-configuring discovery of nested parts in unlabelled 3-D biomedical volumes."""

__version__ = "0.1.0"
