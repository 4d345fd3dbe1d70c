# Uses the package appstoreconnect; only the address is another one. For what it has no class for, it uses its own call.
import json
import os

from appstoreconnect import api
from appstoreconnect.api import Api, APIError, HttpMethod

APP = os.environ["APP"]
api.BASE_API = os.environ["BASE_URL"]
client = Api(os.environ["KEY_ID"], os.environ["PRIVATE_KEY"], os.environ["ISSUER_ID"], submit_stats=False)
url = api.BASE_API + "/v1"


def domain_pages():
    page = client._api_call(f"{url}/alternativeDistributionDomains?limit=2")
    while page:
        yield from page["data"]
        following = page["links"].get("next")
        page = client._api_call(following) if following else None


apps = client.list_apps(sort="bundleId")
versions = client._api_call(f"{url}/apps/{APP}/appStoreVersions")["data"]
key = client._api_call(
    f"{url}/alternativeDistributionKeys",
    HttpMethod.POST,
    {
        "data": {
            "type": "alternativeDistributionKeys",
            "attributes": {"publicKey": os.environ["PUBLIC_KEY"]},
            "relationships": {"app": {"data": {"type": "apps", "id": APP}}},
        }
    },
)["data"]
key_of_app = client._api_call(f"{url}/apps/{APP}/alternativeDistributionKey")["data"]
domains = [domain["attributes"]["domain"] for domain in domain_pages()]
client._api_call(f"{url}/alternativeDistributionKeys/{key['id']}", HttpMethod.DELETE)
error = None
try:
    client._api_call(f"{url}/apps/{APP}/alternativeDistributionKey")
except APIError as thrown:
    error = {404: "NOT_FOUND"}.get(thrown.status_code)
print(
    json.dumps(
        {
            "apps": [app.id for app in apps],
            "versions": len(versions),
            "isKeyOfApp": key_of_app["id"] == key["id"],
            "domains": domains,
            "error": error,
        }
    )
)
