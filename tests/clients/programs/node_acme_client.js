// Node's acme-client, told what to do as drivers/library.rs says.

const acme = require('acme-client');
const { execFileSync } = require('child_process');
const fs = require('fs');
const path = require('path');
const tls = require('tls');

const { env } = process;
const KEY = 'account.key';
const URL = 'account.url';

const operations = {
    async register(address, kid, hmacKey) {
        fs.writeFileSync(KEY, await acme.crypto.createPrivateEcdsaKey());
        const client = connect({ externalAccountBinding: { kid, hmacKey } });
        await client.createAccount({ termsOfServiceAgreed: true, contact: [`mailto:${address}`] });
        fs.writeFileSync(URL, client.getAccountUrl());
    },

    async issue(type, keyFile, chainFile, ...names) {
        const client = resume();
        const [, csr] = await acme.crypto.createCsr({ altNames: names }, fs.readFileSync(keyFile));
        const order = await client.createOrder({ identifiers: names.map((value) => ({ type: 'dns', value })) });
        const undo = [];
        for (const authorization of await client.getAuthorizations(order)) {
            const challenge = authorization.challenges.find((one) => one.type === type);
            const keyAuthorization = await client.getChallengeKeyAuthorization(challenge);
            undo.push(await answer[type](authorization, challenge, keyAuthorization));
            await client.completeChallenge(challenge);
            await client.waitForValidStatus(challenge);
        }
        undo.forEach((one) => one());
        fs.writeFileSync(chainFile, await client.getCertificate(await client.finalizeOrder(order, csr)));
    },

    async revoke(chainFile) {
        await resume().revokeCertificate(fs.readFileSync(chainFile), { reason: 4 });
    },

    async contact(address) {
        await resume().updateAccount({ contact: [`mailto:${address}`] });
    },

    async 'new-key'() {
        const key = await acme.crypto.createPrivateEcdsaKey();
        await resume().updateAccountKey(key);
        fs.writeFileSync(KEY, key);
    },

    async deactivate() {
        await resume().updateAccount({ status: 'deactivated' });
    },
};

/* Each gives back what takes the answer away again. */
const answer = {
    async 'http-01'(authorization, challenge, keyAuthorization) {
        const file = path.join(env.CHALLENGES, challenge.token);
        fs.writeFileSync(file, keyAuthorization);
        return () => fs.unlinkSync(file);
    },

    async 'dns-01'(authorization, challenge, value) {
        const record = [`_acme-challenge.${authorization.identifier.value}`, value];
        execFileSync(env.TXT_RECORD, ['add', ...record]);
        return () => execFileSync(env.TXT_RECORD, ['remove', ...record]);
    },

    async 'tls-alpn-01'(authorization, challenge, keyAuthorization) {
        const [key, cert] = await acme.crypto.createAlpnCertificate(authorization, keyAuthorization);
        const [host, port] = env.TLS_ALPN_01.split(':');
        const server = tls.createServer({ key, cert, ALPNProtocols: ['acme-tls/1'] });
        await new Promise((listening) => { server.listen(Number(port), host, listening); });
        return () => server.close();
    },
};

function resume() {
    return connect({ accountUrl: fs.readFileSync(URL, 'utf8') });
}

function connect(options) {
    /* Its first poll comes after backoffMin, and it never polls sooner. */
    const polling = { backoffAttempts: 20, backoffMin: 200, backoffMax: 2000 };
    return new acme.Client({ directoryUrl: env.DIRECTORY, accountKey: fs.readFileSync(KEY), ...polling, ...options });
}

const [operation, ...rest] = process.argv.slice(2);
operations[operation](...rest).catch((error) => {
    console.error(error);
    process.exit(1);
});
