import { useState } from 'react';
import 'webdist-button';
import type { InstallButton } from 'webdist-button';
import type {} from 'webdist-button/react';

/** React does not attach handlers of custom events when it hydrates: they are attached here. */
function follow(setState: (state: string) => void) {
  return (button: InstallButton) => {
    const update = () => setState(button.state);
    update(); // it may have begun before React
    button.addEventListener('install-state', update);
    return () => button.removeEventListener('install-state', update);
  };
}

export function App() {
  const [state, setState] = useState('loading');
  return (
    <main>
      <h1>Trail Map</h1>
      <install-button app="com.example.trailmap" server="https://example.com/webdist/" ref={follow(setState)}>
        <a href="/help/install">How to install</a>
      </install-button>
      <p>
        The button is <span id="state">{state}</span>.
      </p>
    </main>
  );
}
