-- An action is enabled where the command would have an effect.
local status = obj.status or {}
local on_trial = status.candidate ~= nil and status.stable ~= nil
local has_steps_left = (status.step or 0) < (status.stepCount or 0)
local can_go_on = on_trial and (has_steps_left or status.failurePaused ~= nil or status.userPaused == true)
local can_go_back = (on_trial or #(status.previous or {}) > 0) and status.rollback == nil

return {
  ["promote"] = {
    disabled = not can_go_on,
    displayName = "Promote by one step",
    iconClass = "fa fa-fw fa-step-forward",
  },
  ["promote-full"] = {
    disabled = not can_go_on,
    displayName = "Promote fully",
    iconClass = "fa fa-fw fa-fast-forward",
  },
  ["abort"] = {
    disabled = not on_trial,
    displayName = "Abort the rollout",
    iconClass = "fa fa-fw fa-times-circle",
  },
  ["pause"] = {
    disabled = status.userPaused == true,
    displayName = "Pause rollouts",
    iconClass = "fa fa-fw fa-pause",
  },
  ["resume"] = {
    disabled = status.userPaused ~= true,
    displayName = "Resume rollouts",
    iconClass = "fa fa-fw fa-play",
  },
  ["retry"] = {
    disabled = #(status.blockedVersions or {}) == 0,
    displayName = "Retry what was rolled back",
    iconClass = "fa fa-fw fa-redo",
  },
  ["approve"] = {
    disabled = status.pendingVersion == nil,
    displayName = "Approve the version that waits",
    iconClass = "fa fa-fw fa-check",
  },
  ["rollback"] = {
    disabled = not can_go_back,
    displayName = "Roll back to the version before",
    iconClass = "fa fa-fw fa-undo",
  },
}
