'use client';

import { useState } from 'react';
import 'webdist-button';
import type {} from 'webdist-button/react';

export function Install({ url }: { url: string | undefined }) {
  const [state, setState] = useState('loading');
  return (
    <>
      <install-button
        app="com.example.trailmap"
        server="https://install.example.com/"
        style={{ display: 'inline-grid', verticalAlign: 'top', minBlockSize: '6rem' }}
        oninstall-state={({ detail }) => setState(detail.state)}
      >
        <a href={url ?? '/help/install'}>{url ? 'Install' : 'How to install'}</a>
      </install-button>
      <p>
        The button is <span id="state">{state}</span>.
      </p>
    </>
  );
}
