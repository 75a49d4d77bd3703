-- A version is a record: at rest in every state, but Degraded where it failed its validation or cannot obey its user.
local healths = {Active = "Healthy", Retired = "Healthy", Archived = "Healthy", Rejected = "Degraded"}

local status = obj.status or {}

for _, condition in ipairs(status.conditions or {}) do
  if condition.type == "Degraded" and condition.status == "True" and condition.reason == "InvalidSpec" then
    return {status = "Degraded", message = condition.message}
  end
end
return {status = healths[status.state] or "Progressing", message = status.message}
