/** Browsers as web pages see them. */

const safari = (system: string, version: string) =>
  `Mozilla/5.0 (${system}) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/${version} Mobile/15E148 Safari/604.1`;
const phone = (version: string) => `iPhone; CPU iPhone OS ${version} like Mac OS X`;
const desktopSite = 'Macintosh; Intel Mac OS X 10_15_7';
const webKit = 'AppleWebKit/605.1.15 (KHTML, like Gecko)';

/** User agent, touch points and screen, and the code that the button shows: undefined when it can install. */
export const visitors: [
  name: string,
  userAgent: string,
  code?: string | undefined,
  screen?: { width: number; height: number },
][] = [
  ['an iPhone with iOS 17.5', safari(phone('17_5'), '17.5')],
  ['an iPhone with iOS 17.4', safari(phone('17_4_1'), '17.4'), 'outdated'],
  ['an iPhone with iOS 16', safari(phone('16_7'), '16.6'), 'outdated'],
  ['an iPhone with iOS 26, which says 18.6', safari(phone('18_6'), '26.0')],
  ['Chrome on an iPhone', `Mozilla/5.0 (${phone('18_1')}) ${webKit} CriOS/130.0 Mobile/15E148 Safari/604.1`],
  [
    'an iPad with iPadOS 18',
    safari(desktopSite, '18.0').replace('Mobile/15E148 ', ''),
    undefined,
    { width: 820, height: 1180 },
  ],
  ['an iPad with iPadOS 17.6', safari(desktopSite, '17.6'), 'outdated', { width: 820, height: 1180 }],
  [
    'an iPad that asks for mobile pages',
    safari('iPad; CPU OS 18_2 like Mac OS X', '18.2'),
    undefined,
    { width: 820, height: 1180 },
  ],
  ['an iPhone that asks for desktop pages', safari(desktopSite, '17.5')],
  [
    'Chrome on an iPad',
    `Mozilla/5.0 (${desktopSite}) ${webKit} CriOS/130 Version/11.1.1 Safari/605.1.15`,
    undefined,
    { width: 820, height: 1180 },
  ],
  ['a page inside Instagram', `Mozilla/5.0 (${phone('18_1')}) ${webKit} Mobile/22B83 Instagram 350.0`, 'in-app'],
  ['a page inside Facebook', `Mozilla/5.0 (${phone('18_1')}) ${webKit} Mobile/22B83 [FBAN/FBIOS;FBAV/480]`, 'in-app'],
  ['a page inside some app', `Mozilla/5.0 (${phone('18_1')}) ${webKit} Mobile/22B83`, 'in-app'],
  ['the Google app', `Mozilla/5.0 (${phone('18_1')}) ${webKit} GSA/340 Mobile/15E148 Safari/604.1`, 'in-app'],
  [
    'Android',
    'Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0 Mobile Safari/537.36',
    'elsewhere',
  ],
];
