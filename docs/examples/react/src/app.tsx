import { useState } from 'react';
import 'webdist-button';
import type {} from 'webdist-button/react';

export function App() {
  const [state, setState] = useState('loading');
  return (
    <main>
      <h1>Trail Map</h1>
      <install-button
        app="com.example.trailmap"
        server="https://install.example.com/"
        oninstall-state={({ detail }) => setState(detail.state)}
      >
        <a href="/help/install">How to install</a>
      </install-button>
      <p>
        The button is <span id="state">{state}</span>.
      </p>
    </main>
  );
}
