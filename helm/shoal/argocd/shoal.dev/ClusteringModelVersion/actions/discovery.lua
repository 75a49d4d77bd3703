local state = (obj.status or {}).state

return {
  ["activate"] = {
    disabled = state ~= "Retired" and state ~= "Archived",
    displayName = "Bring the version back",
    iconClass = "fa fa-fw fa-play",
  },
  ["retire"] = {
    disabled = state ~= "Active" and state ~= "Rejected",
    displayName = "Retire the version",
    iconClass = "fa fa-fw fa-stop",
  },
  ["archive"] = {
    disabled = state == nil or state == "Archived",
    displayName = "Archive the version",
    iconClass = "fa fa-fw fa-archive",
  },
}
