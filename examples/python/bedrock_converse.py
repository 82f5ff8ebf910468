"""boto3's Bedrock client. It sends a key over TLS only: give the gateway `tls_cert` and `tls_key`, and boto3 AWS_CA_BUNDLE
when the certificate is your own."""

import os

os.environ["AWS_BEARER_TOKEN_BEDROCK"] = os.environ["TOLLGATE_KEY"]
import boto3  # noqa: E402

client = boto3.client("bedrock-runtime", region_name="us-east-1", endpoint_url=os.environ["TOLLGATE_URL"])
answer = client.converse(
    modelId=os.environ["TOLLGATE_MODEL"], messages=[{"role": "user", "content": [{"text": "Hello!"}]}]
)
print(answer["output"]["message"]["content"][0]["text"])
print(answer["usage"]["totalTokens"], "tokens")
