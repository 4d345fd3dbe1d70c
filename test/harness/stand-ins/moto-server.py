# Starts moto's AWS server on a free port of 127.0.0.1, prints the port, and ends when its standard input does.
# moto 5.2.1 ignores MessageType and hashes a digest once more; AWS signs it as it is, so that is put right here.
import contextvars
import sys

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from moto.kms import responses
from moto.kms import utils as kms_utils
from moto.server import ThreadedMotoServer

is_digest = contextvars.ContextVar("is_digest", default=False)
answer_sign = responses.KmsResponse.sign
sign_raw = kms_utils.ECDSAPrivateKey.sign


def sign(self):
    is_digest.set(self._get_param("MessageType") == "DIGEST")
    return answer_sign(self)


def sign_digest_or_raw(self, message, signing_algorithm):
    if not is_digest.get():
        return sign_raw(self, message, signing_algorithm)
    return self.private_key.sign(message, ec.ECDSA(utils.Prehashed(hashes.SHA256())))


responses.KmsResponse.sign = sign
kms_utils.ECDSAPrivateKey.sign = sign_digest_or_raw

server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
