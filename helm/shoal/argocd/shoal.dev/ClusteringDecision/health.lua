-- A decision is a record without a state of its own.
return {status = "Healthy", message = (obj.spec or {}).message}
