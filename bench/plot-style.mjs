// What all charts share: colours that are readable on light and dark, and text as XML wants it.

export const style = `
  text { font: 13px system-ui, sans-serif; fill: #1a1a1a; }
  .title { font-weight: 600; font-size: 14px; }
  .small { font-size: 11px; fill: #595959; }
  .paper { fill: #ffffff; }
  .axis { stroke: #bdbdbd; stroke-width: 1; }
  .range { stroke: #1a1a1a; stroke-width: 1.5; }
  .ours { fill: #0072b2; }
  .peer { fill: #e69f00; }
  .reference { fill: #999999; }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f0f0; }
    .small { fill: #b0b0b0; }
    .paper { fill: #16181c; }
    .axis { stroke: #555a63; }
    .range { stroke: #f0f0f0; }
    .ours { fill: #56b4e9; }
  }`

export function escapeText(text) {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
