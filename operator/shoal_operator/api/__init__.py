"""The API as types, group shoal.dev/v1alpha1. Imports pydantic only; the CRDs are generated from here."""
