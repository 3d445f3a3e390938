export function plotGroups() {
  return []
}
