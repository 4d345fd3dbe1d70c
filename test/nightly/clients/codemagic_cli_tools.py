# Uses codemagic-cli-tools' client; only the address is another one. For what it has no class for, it uses its session.
import json
import os

from codemagic.apple import AppStoreConnectApiClient
from codemagic.apple.app_store_connect.api_error import AppStoreConnectApiError

APP = os.environ["APP"]
AppStoreConnectApiClient.API_URL = os.environ["BASE_URL"] + "/v1"
client = AppStoreConnectApiClient(os.environ["KEY_ID"], os.environ["ISSUER_ID"], os.environ["PRIVATE_KEY"])
url = client.API_URL
apps = client.apps.list()
versions = client.apps.list_app_store_versions(client.apps.read(APP))
key = client.session.post(
    f"{url}/alternativeDistributionKeys",
    json={
        "data": {
            "type": "alternativeDistributionKeys",
            "attributes": {"publicKey": os.environ["PUBLIC_KEY"]},
            "relationships": {"app": {"data": {"type": "apps", "id": APP}}},
        }
    },
).json()["data"]
key_of_app = client.session.get(f"{url}/apps/{APP}/alternativeDistributionKey").json()["data"]
domains = client.paginate(f"{url}/alternativeDistributionDomains", page_size=2)
client.session.delete(f"{url}/alternativeDistributionKeys/{key['id']}")
error = None
try:
    client.session.get(f"{url}/apps/{APP}/alternativeDistributionKey")
except AppStoreConnectApiError as thrown:
    error = thrown.response.json()["errors"][0]["code"]
print(
    json.dumps(
        {
            "apps": [app.id for app in apps],
            "versions": len(versions),
            "isKeyOfApp": key_of_app["id"] == key["id"],
            "domains": [domain["attributes"]["domain"] for domain in domains],
            "error": error,
        }
    )
)
