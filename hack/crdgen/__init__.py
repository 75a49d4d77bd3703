"""Turns the API's pydantic types into CustomResourceDefinitions and their reference page.

Run by hack/generate_crds.py.
"""
