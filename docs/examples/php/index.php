<?php
/** The link for this visitor, requested by the website's server; null where it has no API key. */
function install_url(): ?string
{
    $server = getenv('WEBDIST_URL');
    $key = getenv('WEBDIST_API_KEY');
    if (!$server || !$key) {
        return null;
    }
    $context = stream_context_create(['http' => [
        'header' => "Authorization: Bearer $key",
        'timeout' => 3,
        'ignore_errors' => true,
    ]]);
    $url = rtrim($server, '/') . '/install-token?' . http_build_query(['app' => 'com.example.trailmap']);
    $answer = json_decode((string) @file_get_contents($url, false, $context), true);
    return $answer['installUrl'] ?? null;
}

header('Cache-Control: no-store'); // the link is for one visitor
$url = install_url();
$href = htmlspecialchars($url ?? '/help/install');
?>
<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width" />
    <title>Trail Map</title>
    <link rel="icon" href="data:," />
    <style>
      install-button {
        display: inline-grid;
        vertical-align: top;
        min-block-size: 6rem;
      }
    </style>
    <script type="module" src="https://example.com/webdist/install-button.js"></script>
    <script type="module">
      addEventListener('install-state', ({ detail }) => {
        document.querySelector('#state').textContent = detail.state;
      });
    </script>
  </head>
  <body>
    <main>
      <h1>Trail Map</h1>
      <install-button app="com.example.trailmap">
        <a href="<?= $href ?>"><?= $url ? 'Install' : 'How to install' ?></a>
      </install-button>
      <p>The button is <span id="state">loading</span>.</p>
    </main>
  </body>
</html>
