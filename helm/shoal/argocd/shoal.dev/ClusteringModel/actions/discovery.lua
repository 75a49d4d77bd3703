return {
  ["retrain"] = {
    disabled = (obj.status or {}).phase == "Training",
    displayName = "Train again",
    iconClass = "fa fa-fw fa-redo",
  },
}
