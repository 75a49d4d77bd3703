-- A training that ended without a servable version needs a person; whatever this script does not know is Progressing.
local healths = {Ready = "Healthy", Rejected = "Degraded", Failed = "Degraded"}

local status = obj.status or {}

if status.observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "The operator has not seen this generation yet."}
end

for _, condition in ipairs(status.conditions or {}) do
  if condition.type == "Degraded" and condition.status == "True" and condition.reason == "InvalidSpec" then
    return {status = "Degraded", message = condition.message}
  end
end
return {status = healths[status.phase] or "Progressing", message = status.message}
