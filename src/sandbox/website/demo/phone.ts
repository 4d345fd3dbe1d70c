/** Draws what the iPhone shows after a tap: the system's sheet, the download, and the Home Screen, or a refusal. */

type Scene = 'sheet' | 'download' | 'installed' | 'refused';

const titles: Readonly<Record<Scene, string>> = {
  sheet: 'Install “Trail Map”?',
  download: 'Downloading…',
  installed: 'Trail Map is installed',
  refused: 'Nothing was installed',
};

/** Long enough to see, except for visitors who prefer no motion. */
const SCENE_MS = matchMedia('(prefers-reduced-motion: reduce)').matches ? 0 : 900;

export type Phone = ReturnType<typeof openPhone>;

/** Takes the element that covers the page in the phone. `show` resolves to false if the scene was hidden early. */
export function openPhone(stage: HTMLElement) {
  const textOf = (id: string, text: string) => {
    const place = stage.querySelector(`#${id}`);
    if (place) place.textContent = text;
  };
  const show = (scene: Scene, text: string): Promise<boolean> => {
    stage.dataset['scene'] = scene;
    stage.hidden = false;
    textOf('stage-title', titles[scene]);
    textOf('stage-text', text);
    stage.parentElement?.scrollIntoView({ block: 'nearest' });
    return new Promise((done) => setTimeout(() => done(!stage.hidden), SCENE_MS));
  };
  const hide = () => {
    stage.hidden = true;
  };
  stage.querySelector('button')?.addEventListener('click', hide);
  return { show, hide };
}
