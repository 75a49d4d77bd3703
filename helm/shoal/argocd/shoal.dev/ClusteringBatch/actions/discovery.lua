return {
  ["rerun"] = {
    disabled = (obj.status or {}).completedAt == nil,
    displayName = "Run again",
    iconClass = "fa fa-fw fa-redo",
  },
}
