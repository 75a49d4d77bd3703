-- Every new value is a new training.
local os = require("os")
obj.metadata.annotations = obj.metadata.annotations or {}
obj.metadata.annotations["shoal.dev/retrain"] = os.date("!%Y-%m-%dT%XZ")
return obj
