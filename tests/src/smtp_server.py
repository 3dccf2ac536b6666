"""A real SMTP server for tests: aiosmtpd. Prints its port, then each message it has taken as a line of JSON.

Usage: smtp_server.py plain|starttls|smtps [CERT KEY USER PASSWORD]
Recipients decide: refuse@ 550, later@ 451, hang@ is taken and never answered.
"""

import asyncio
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("refuse@"):
            return "550 5.1.1 no such user"
        if address.startswith("later@"):
            return "451 4.7.1 come back later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        told = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "data": envelope.content.decode("utf-8", "replace"),
            "tls": session.ssl is not None or MODE == "smtps",
            "user": session.auth_data if isinstance(session.auth_data, str) else None,
        }
        print(json.dumps(told), flush=True)
        if any(address.startswith("hang@") for address in envelope.rcpt_tos):
            await asyncio.sleep(3600)
        return "250 2.0.0 taken"


def authenticate(server, session, envelope, mechanism, data):
    user, password = data.login.decode(), data.password.decode()
    good = [user, password] == sys.argv[4:6]
    return AuthResult(success=good, handled=good, auth_data=user if good else None)


MODE = sys.argv[1]
CONTEXT = None
if MODE != "plain":
    CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CONTEXT.load_cert_chain(sys.argv[2], sys.argv[3])


def session():
    if MODE == "plain":
        return SMTP(Handler(), hostname="double")
    return SMTP(
        Handler(),
        hostname="double",
        tls_context=CONTEXT if MODE == "starttls" else None,
        require_starttls=MODE == "starttls",
        auth_required=True,
        auth_require_tls=MODE == "starttls",
        authenticator=authenticate,
    )


async def main():
    context = CONTEXT if MODE == "smtps" else None
    server = await asyncio.get_running_loop().create_server(session, "127.0.0.1", 0, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
