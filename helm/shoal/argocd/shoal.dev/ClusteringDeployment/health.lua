-- Degraded is what a person must mend. What may pass by itself, and whatever this script does not know, is Progressing.
local needs_a_person = {
  GroupInvalid = true,
  InvalidSpec = true,
  PausedByFailure = true,
  ProgressDeadlineExceeded = true,
  RolledBack = true,
  VersionArchived = true,
  VersionRejected = true,
  VersionRetired = true,
}

local status = obj.status or {}

local function find(kind)
  for _, condition in ipairs(status.conditions or {}) do
    if condition.type == kind and condition.status == "True" then
      return condition
    end
  end
end

if status.observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "The operator has not seen this generation yet."}
end

local health = {status = "Progressing", message = status.message}
local degraded, ready = find("Degraded"), find("Ready")
local outage = status.stable ~= nil and ready == nil
if degraded ~= nil and (needs_a_person[degraded.reason] or outage) then
  health.status = "Degraded"
elseif find("Paused") ~= nil or find("Pending") ~= nil then
  health.status = "Suspended"
elseif ready ~= nil and degraded == nil and find("Progressing") == nil and status.candidate == nil then
  health.status = "Healthy"
end
return health
