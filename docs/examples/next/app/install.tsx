'use client';

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

export function Install({ url }: { url: string | undefined }) {
  const [state, setState] = useState('loading');
  return (
    <>
      <install-button
        app="com.example.trailmap"
        server="https://example.com/webdist/"
        style={{ display: 'inline-grid', verticalAlign: 'top', minBlockSize: '6rem' }}
        ref={follow(setState)}
      >
        <a href={url ?? '/help/install'}>{url ? 'Install' : 'How to install'}</a>
      </install-button>
      <p>
        The button is <span id="state">{state}</span>.
      </p>
    </>
  );
}
