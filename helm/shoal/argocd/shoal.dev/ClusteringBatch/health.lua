-- Whatever this script does not know is Progressing.
local healths = {Complete = "Healthy", Suspended = "Suspended", Failed = "Degraded"}

local status = obj.status or {}

if status.observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "The operator has not seen this generation yet."}
end
return {status = healths[status.phase] or "Progressing", message = status.message}
