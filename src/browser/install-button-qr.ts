/** The QR code that <install-button> shows to visitors on other devices. It is loaded only for them. */

import { encode } from 'uqr';

const SVG = 'http://www.w3.org/2000/svg';

/** Returns an SVG element that fills its box, drawn in `currentColor` on a transparent background. Takes up to 2 kB of text. */
export function qrCode(text: string): SVGElement {
  const { data, size } = encode(text, { ecc: 'M', border: 0 });
  const squares = data.flatMap((row, y) => row.flatMap((isDark, x) => (isDark ? [`M${x} ${y}h1v1h-1z`] : [])));
  const svg = document.createElementNS(SVG, 'svg');
  const path = document.createElementNS(SVG, 'path');
  svg.setAttribute('viewBox', `0 0 ${size} ${size}`);
  path.setAttribute('fill', 'currentColor');
  path.setAttribute('shape-rendering', 'crispEdges');
  path.setAttribute('d', squares.join(''));
  svg.append(path);
  return svg;
}
