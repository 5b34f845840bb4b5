"""Secrets and addresses in the ways that languages write them, and the code that only looks like one."""

from __future__ import annotations

import base64
import random

import pytest

from gapo_trainer.data.mining.text_filters import text_fault

VALUE = "abcd1234efgh5678"
MIXED = "aB" * 44 + "12"
DJANGO = "8lu*6g0lg)9z!ba+a$ehk)xt)x%rxgb$i1&022shmi1jcgihb*"


def base64_lines(number: int, width: int, pattern: str = "{}") -> str:
    data = base64.b64encode(random.Random(0).randbytes(4096)).decode().replace("\n", "")
    return "\n".join(pattern.format(data[i * width : (i + 1) * width]) for i in range(number))


@pytest.mark.parametrize(
    "text",
    [
        f'val apiKey: String = "{VALUE}"',
        f"const apiKey: string = '{VALUE}';",
        f"apiKey?: string = `{VALUE}`;",
        f'const API_KEY: &str = "{VALUE}";',
        f'static API_KEY: &\'static str = "{VALUE}";',
        f'api_key: str = "{VALUE}"',
        f'api_key: Optional[str] = "{VALUE}"',
        f'let token: String? = "{VALUE}"',
        f'var apiKey string = "{VALUE}"',
        f'apiKey := "{VALUE}"',
        f'#define API_KEY "{VALUE}"',
        f'const char api_key[] = "{VALUE}";',
        f'NSString *apiKey = @"{VALUE}";',
        f'client.setPassword("{VALUE}")',
        f'builder.password("{VALUE}")',
        f"define('DB_PASSWORD', '{VALUE}');",
        f'os.environ["API_KEY"] = "{VALUE}"',
        f'{{\\"password\\": \\"{VALUE}\\"}}',
        f'"Authorization": "Bearer {VALUE}ijkl"',
        "headers.put('Authorization', 'Basic dXNlcjpwYXNzd29yZDEyMw==')",
        f"export API_KEY={VALUE}ijkl",
        f"DB_PASSWORD={VALUE}",
        "SECRET_KEY = 'django-insecure-$%x!abc)(&*12'",
        f"SECRET_KEY = '{DJANGO}'",
        "https://discord.com/api/webhooks/123456789012345678/" + "aB3_-" * 13,
        "https://api.telegram.org/bot123456789:AA" + "b1C" * 11,
        f'secret := []byte("{VALUE}")',
        "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYzzzzzzzKEY",
        "ATATT3xFfGF0K3" + "irG5tKKi" * 8,
        "CLOJARS_" + "0a1b2c" * 10,
        "0a1b2c3d" * 4 + "-us18",
        "AGE-SECRET-KEY-1" + "QGL0S2Z" * 8,
        "gldt-" + "aBcDe" * 4,
        "pypi-AgENdGVzdC5weXBp" + "aBcDe" * 4,
        "xapp-1-A0123456789-1234567890123-" + "0a1b2c" * 10,
        "https://corp.webhook.office.com/webhookb2/0a1b2c3d-aaaa",
        "abc8Q~" + "aB-cDe" * 6,
        "Endpoint=sb://x.servicebus.windows.net/;SharedAccessKey=" + "aBcDe" * 8,
        "rubygems_" + "0a1b2c" * 8,
        "PMAK-" + "0a1b2c" * 4,
        "---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----",
        "figd_POF5vWThLbE5nyO18lzTogpvvQpYRDVExFPX",  # the form of none above
        "MTk4NjIyNDgzNDcxOTI1MjQ4.Cl2FMQ.RrlEZYT2dYnRPf3yhQCsRGF5zhM",
        "-----END RSA PRIVATE KEY-----",
        "PuTTY-User-Key-File-3: ssh-ed25519",
        "Server=db;User Id=sa;Password=hunter2hunter2;Encrypt=true",
        "-----BEGIN PGP PRIVATE KEY BLOCK-----",
        'key = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC"',
        base64_lines(3, 64),
        base64_lines(3, 76, "+    |{}"),
        base64_lines(4, 48, '  "{}\\n" +'),
    ],
)
def test_secrets_are_seen(text):
    assert text_fault(f"before\n{text}\nafter") == "secret"


@pytest.mark.parametrize(
    "text",
    [
        'api_key = "your-api-key"',
        'api_key = "YOUR-API-KEY-12345"',
        'token = "xxxxxxxxxxxxxxxx1a"',
        'api_key: str = os.environ["API_KEY_12345"]',
        'val apiKey: String = BuildConfig.API_KEY_V12',
        'token: Token = Token("(", 1)',
        'token = get_token("name", 12345678901)',
        'token_url = "https://host.io/v1/oauth2/token"',
        "setPassword(password12345678)",
        "export API_KEY=$(cat key.txt)",
        "export API_KEY=${API_KEY_12345678}",
        "TOKEN_A=TOKEN_B_123456789012",
        "token = tokenizer2_next_token_value",
        'raise ValueError("a token expects at most 12 characters")',
        "\n".join(["da39a3ee5e6b4b0d3255bfef95601890afd80709"] * 4),
        "\n".join(["/" * 80] * 4),
        "\n".join([MIXED, "+" * 3000 + MIXED, f"{MIXED}#x"]),  # took minutes as one expression
        "\n".join(["src/main/java/com/example/longNamesOfPackages"] * 4),
        "Http2StreamFlowControlWindowUpdateTest10",
        "convertUtf8ToUtf16WithoutBom2",
        "DA39A3EE5E6B4B0D3255BFEF95601890AFD80709",
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
        "glob-to-regular-expression-of-all",
        "this@Http2Stream.notifyAll()",
        "super@Outer.io.run()",
        "y = x@W.to(device)",
        "y = x@W.T",
        "mail = user@Example.com",
        "git clone git@github.com:owner/name.git",
        "Server=db;User Id=sa;Password={0};",
        "Server=db;User Id=sa;Password=${PASSWORD_1};",
        "ssh://git@git.corp.org/owner/name.git",
    ],
)  # fmt: skip
def test_code_is_no_secret(text):
    assert text_fault(f"before\n{text}\nafter") is None


@pytest.mark.parametrize(
    "address", ["jane.doe@corp.org", "jane.git@corp.org", "Jane.Doe@Corp.org", "JANE@CORP.ORG", "jane@Corp.co.uk"]
)
def test_addresses_are_seen_in_any_letters(address):
    assert text_fault(f"by {address}") == "address of a person"
