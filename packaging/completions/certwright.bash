# bash completion for certwright, made from the definitions behind `certwright --help`.

_certwright() {
    local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]}
    local once='' words='' list='' attached='' flag
    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        _certwright_words 'serve quickstart create-dfc-key create-pki-cert-issuer update-pki-cert-issuer describe-item list-items set-item-state update-item delete-item client-config trust generate-acme-eab list-acme-eabs revoke-acme-eab set-limits renew-soon list-acme-accounts deactivate-acme-account get-certificate-value list-certificates revoke-certificate export-signer-csr import-signer-certificate import-signer rotate-key renew-signer-certificate refresh-key accept-clock explain audit backup restore check status config --help --version'
        return
    fi
    # --flag=value is three words to bash.
    if [[ $current == = ]]; then
        current='' attached=1
    elif [[ $before == = ]]; then
        before=${COMP_WORDS[COMP_CWORD - 2]} attached=1
    fi
    case $command,$before in
        serve,--state-dir) _certwright_files -d; return ;;
        serve,--listen) return ;;
        serve,--plain-listen) return ;;
        serve,--metrics-listen) return ;;
        serve,--behind-proxy) return ;;
        serve,--admin-socket) _certwright_files -f; return ;;
        serve,--fragment-dir) _certwright_files -d; return ;;
        serve,--dns-server) return ;;
        serve,--http-01-port) return ;;
        serve,--tls-alpn-01-port) return ;;
        serve,--validation-allow) return ;;
        serve,--validation-deny) return ;;
        serve,--workers) return ;;
        serve,--tls-cert) _certwright_files -f; return ;;
        serve,--tls-key) _certwright_files -f; return ;;
        serve,--blocked-keys) _certwright_files -f; return ;;
        serve,--event-command) _certwright_files -f; return ;;
        serve,--event-url) return ;;
        serve,--retain) return ;;
        serve,--retain-records) return ;;
        quickstart,--data-dir) _certwright_files -d; return ;;
        quickstart,--listen) return ;;
        quickstart,--plain-listen) return ;;
        quickstart,--http-01-port) return ;;
        create-dfc-key,--name | create-dfc-key,-n) return ;;
        create-dfc-key,--alg | create-dfc-key,-a) words='RSA2048 RSA3072 RSA4096 EC256 EC384 ED25519' ;;
        create-dfc-key,--generate-self-signed-certificate) once='true false' ;;
        create-dfc-key,--signed-by) return ;;
        create-dfc-key,--certificate-ttl) return ;;
        create-dfc-key,--certificate-format) words='pem der' ;;
        create-dfc-key,--conf-file-path) _certwright_files -f; return ;;
        create-dfc-key,--certificate-common-name) return ;;
        create-dfc-key,--certificate-organization) return ;;
        create-dfc-key,--certificate-country) return ;;
        create-dfc-key,--certificate-locality) return ;;
        create-dfc-key,--certificate-province) return ;;
        create-dfc-key,--permitted-domains) return ;;
        create-dfc-key,--permitted-ips) return ;;
        create-dfc-key,--hash-algorithm) words='SHA256 SHA384 SHA512' ;;
        create-dfc-key,--split-level | create-dfc-key,-s) return ;;
        create-dfc-key,--expiration-event-in | create-dfc-key,-e) return ;;
        create-dfc-key,--delete-protection) once='true false' ;;
        create-dfc-key,--description) return ;;
        create-dfc-key,--tag) return ;;
        create-dfc-key,--json) once='true false' ;;
        create-dfc-key,--admin-socket) _certwright_files -f; return ;;
        create-pki-cert-issuer,--name | create-pki-cert-issuer,-n) return ;;
        create-pki-cert-issuer,--ttl | create-pki-cert-issuer,-t) return ;;
        create-pki-cert-issuer,--signer-key-name | create-pki-cert-issuer,-s) return ;;
        create-pki-cert-issuer,--enable-acme) once='true false' ;;
        create-pki-cert-issuer,--gw-cluster-url) return ;;
        create-pki-cert-issuer,--destination-path) return ;;
        create-pki-cert-issuer,--allowed-domains) return ;;
        create-pki-cert-issuer,--allowed-ip-sans) return ;;
        create-pki-cert-issuer,--allow-subdomains) once='true false' ;;
        create-pki-cert-issuer,--disable-wildcards) once='true false' ;;
        create-pki-cert-issuer,--allow-any-name) once='true false' ;;
        create-pki-cert-issuer,--server-flag) once='true false' ;;
        create-pki-cert-issuer,--client-flag) once='true false' ;;
        create-pki-cert-issuer,--key-usage) list=1; words='DigitalSignature ContentCommitment KeyEncipherment DataEncipherment KeyAgreement EncipherOnly DecipherOnly' ;;
        create-pki-cert-issuer,--critical-key-usage) once='true false' ;;
        create-pki-cert-issuer,--organizations) return ;;
        create-pki-cert-issuer,--organizational-units) return ;;
        create-pki-cert-issuer,--country) return ;;
        create-pki-cert-issuer,--locality) return ;;
        create-pki-cert-issuer,--province) return ;;
        create-pki-cert-issuer,--street-address) return ;;
        create-pki-cert-issuer,--postal-code) return ;;
        create-pki-cert-issuer,--not-require-cn) once='true false' ;;
        create-pki-cert-issuer,--challenges) list=1; words='http-01 dns-01 tls-alpn-01 dns-account-01 dns-persist-01' ;;
        create-pki-cert-issuer,--profiles) list=1; words='classic tlsserver shortlived mtls' ;;
        create-pki-cert-issuer,--caa-identity) return ;;
        create-pki-cert-issuer,--require-eab) once='true false' ;;
        create-pki-cert-issuer,--tls-issuer) once='true false' ;;
        create-pki-cert-issuer,--reuse-authorizations) return ;;
        create-pki-cert-issuer,--terms-of-service) return ;;
        create-pki-cert-issuer,--website) return ;;
        create-pki-cert-issuer,--create-private-crl) once='true false' ;;
        create-pki-cert-issuer,--create-private-ocsp) once='true false' ;;
        create-pki-cert-issuer,--ocsp-ttl) return ;;
        create-pki-cert-issuer,--ocsp-nonce) once='true false' ;;
        create-pki-cert-issuer,--public-url) return ;;
        create-pki-cert-issuer,--expiration-event-in | create-pki-cert-issuer,-e) return ;;
        create-pki-cert-issuer,--delete-protection) once='true false' ;;
        create-pki-cert-issuer,--description) return ;;
        create-pki-cert-issuer,--tag) return ;;
        create-pki-cert-issuer,--json) once='true false' ;;
        create-pki-cert-issuer,--admin-socket) _certwright_files -f; return ;;
        update-pki-cert-issuer,--name | update-pki-cert-issuer,-n) return ;;
        update-pki-cert-issuer,--ttl | update-pki-cert-issuer,-t) return ;;
        update-pki-cert-issuer,--signer-key-name | update-pki-cert-issuer,-s) return ;;
        update-pki-cert-issuer,--enable-acme) once='true false' ;;
        update-pki-cert-issuer,--gw-cluster-url) return ;;
        update-pki-cert-issuer,--destination-path) return ;;
        update-pki-cert-issuer,--allowed-domains) return ;;
        update-pki-cert-issuer,--allowed-ip-sans) return ;;
        update-pki-cert-issuer,--allow-subdomains) once='true false' ;;
        update-pki-cert-issuer,--disable-wildcards) once='true false' ;;
        update-pki-cert-issuer,--allow-any-name) once='true false' ;;
        update-pki-cert-issuer,--server-flag) once='true false' ;;
        update-pki-cert-issuer,--client-flag) once='true false' ;;
        update-pki-cert-issuer,--key-usage) list=1; words='DigitalSignature ContentCommitment KeyEncipherment DataEncipherment KeyAgreement EncipherOnly DecipherOnly' ;;
        update-pki-cert-issuer,--critical-key-usage) once='true false' ;;
        update-pki-cert-issuer,--organizations) return ;;
        update-pki-cert-issuer,--organizational-units) return ;;
        update-pki-cert-issuer,--country) return ;;
        update-pki-cert-issuer,--locality) return ;;
        update-pki-cert-issuer,--province) return ;;
        update-pki-cert-issuer,--street-address) return ;;
        update-pki-cert-issuer,--postal-code) return ;;
        update-pki-cert-issuer,--not-require-cn) once='true false' ;;
        update-pki-cert-issuer,--challenges) list=1; words='http-01 dns-01 tls-alpn-01 dns-account-01 dns-persist-01' ;;
        update-pki-cert-issuer,--profiles) list=1; words='classic tlsserver shortlived mtls' ;;
        update-pki-cert-issuer,--caa-identity) return ;;
        update-pki-cert-issuer,--require-eab) once='true false' ;;
        update-pki-cert-issuer,--tls-issuer) once='true false' ;;
        update-pki-cert-issuer,--reuse-authorizations) return ;;
        update-pki-cert-issuer,--terms-of-service) return ;;
        update-pki-cert-issuer,--website) return ;;
        update-pki-cert-issuer,--create-private-crl) once='true false' ;;
        update-pki-cert-issuer,--create-private-ocsp) once='true false' ;;
        update-pki-cert-issuer,--ocsp-ttl) return ;;
        update-pki-cert-issuer,--ocsp-nonce) once='true false' ;;
        update-pki-cert-issuer,--public-url) return ;;
        update-pki-cert-issuer,--expiration-event-in | update-pki-cert-issuer,-e) return ;;
        update-pki-cert-issuer,--delete-protection) once='true false' ;;
        update-pki-cert-issuer,--description) return ;;
        update-pki-cert-issuer,--tag) return ;;
        update-pki-cert-issuer,--json) once='true false' ;;
        update-pki-cert-issuer,--admin-socket) _certwright_files -f; return ;;
        describe-item,--name | describe-item,-n) return ;;
        describe-item,--display-id | describe-item,-d) return ;;
        describe-item,--item-id) return ;;
        describe-item,--json) once='true false' ;;
        describe-item,--admin-socket) _certwright_files -f; return ;;
        list-items,--type) words='DFC_KEY PKI_CERT_ISSUER CERTIFICATE' ;;
        list-items,--filter) return ;;
        list-items,--path) return ;;
        list-items,--json) once='true false' ;;
        list-items,--admin-socket) _certwright_files -f; return ;;
        set-item-state,--name | set-item-state,-n) return ;;
        set-item-state,--desired-state) words='Enabled Disabled' ;;
        set-item-state,--json) once='true false' ;;
        set-item-state,--admin-socket) _certwright_files -f; return ;;
        update-item,--name | update-item,-n) return ;;
        update-item,--delete-protection) once='true false' ;;
        update-item,--description) return ;;
        update-item,--tag) return ;;
        update-item,--json) once='true false' ;;
        update-item,--admin-socket) _certwright_files -f; return ;;
        delete-item,--name | delete-item,-n) return ;;
        delete-item,--delete-immediately) once='true false' ;;
        delete-item,--force) once='true false' ;;
        delete-item,--json) once='true false' ;;
        delete-item,--admin-socket) _certwright_files -f; return ;;
        client-config,--cert-issuer-name | client-config,-n) return ;;
        client-config,--client) return ;;
        client-config,--domain) return ;;
        client-config,--webroot) _certwright_files -d; return ;;
        client-config,--with-eab) once='true false' ;;
        client-config,--json) once='true false' ;;
        client-config,--admin-socket) _certwright_files -f; return ;;
        trust,--root) _certwright_files -f; return ;;
        trust,--url) return ;;
        trust,--cert-issuer-name | trust,-n) return ;;
        trust,--fingerprint) return ;;
        trust,--print) once='true false' ;;
        trust,--remove) once='true false' ;;
        trust,--json) once='true false' ;;
        trust,--admin-socket) _certwright_files -f; return ;;
        generate-acme-eab,--cert-issuer-name | generate-acme-eab,-n) return ;;
        generate-acme-eab,--ttl | generate-acme-eab,-t) return ;;
        generate-acme-eab,--uses) return ;;
        generate-acme-eab,--allowed-domains) return ;;
        generate-acme-eab,--no-challenge) once='true false' ;;
        generate-acme-eab,--authorized-until) return ;;
        generate-acme-eab,--contact-note) return ;;
        generate-acme-eab,--json) once='true false' ;;
        generate-acme-eab,--admin-socket) _certwright_files -f; return ;;
        list-acme-eabs,--cert-issuer-name | list-acme-eabs,-n) return ;;
        list-acme-eabs,--json) once='true false' ;;
        list-acme-eabs,--admin-socket) _certwright_files -f; return ;;
        revoke-acme-eab,--kid) return ;;
        revoke-acme-eab,--json) once='true false' ;;
        revoke-acme-eab,--admin-socket) _certwright_files -f; return ;;
        set-limits,--cert-issuer-name | set-limits,-n) return ;;
        set-limits,--acme-account-id) return ;;
        set-limits,--pending-orders) return ;;
        set-limits,--pending-authorizations) return ;;
        set-limits,--failed-validations) return ;;
        set-limits,--certificates-per-week) return ;;
        set-limits,--json) once='true false' ;;
        set-limits,--admin-socket) _certwright_files -f; return ;;
        renew-soon,--cert-issuer-name | renew-soon,-n) return ;;
        renew-soon,--json) once='true false' ;;
        renew-soon,--admin-socket) _certwright_files -f; return ;;
        list-acme-accounts,--cert-issuer-name | list-acme-accounts,-n) return ;;
        list-acme-accounts,--json) once='true false' ;;
        list-acme-accounts,--admin-socket) _certwright_files -f; return ;;
        deactivate-acme-account,--cert-issuer-name | deactivate-acme-account,-n) return ;;
        deactivate-acme-account,--acme-account-id) return ;;
        deactivate-acme-account,--delete-account) once='true false' ;;
        deactivate-acme-account,--json) once='true false' ;;
        deactivate-acme-account,--admin-socket) _certwright_files -f; return ;;
        get-certificate-value,--name | get-certificate-value,-n) return ;;
        get-certificate-value,--version) return ;;
        get-certificate-value,--json) once='true false' ;;
        get-certificate-value,--admin-socket) _certwright_files -f; return ;;
        list-certificates,--name | list-certificates,-n) return ;;
        list-certificates,--serial-number) return ;;
        list-certificates,--status) words='Valid About-to-Expire Expired Revoked' ;;
        list-certificates,--expires-within) return ;;
        list-certificates,--cert-issuer-name) return ;;
        list-certificates,--limit) return ;;
        list-certificates,--before) return ;;
        list-certificates,--json) once='true false' ;;
        list-certificates,--admin-socket) _certwright_files -f; return ;;
        revoke-certificate,--name | revoke-certificate,-n) return ;;
        revoke-certificate,--version) return ;;
        revoke-certificate,--serial-number) return ;;
        revoke-certificate,--reason) words='unspecified keyCompromise cACompromise affiliationChanged superseded cessationOfOperation privilegeWithdrawn aACompromise' ;;
        revoke-certificate,--invalidity-date) return ;;
        revoke-certificate,--all-of-account) return ;;
        revoke-certificate,--all-of-issuer) return ;;
        revoke-certificate,--yes) once='true false' ;;
        revoke-certificate,--signer-key-name) return ;;
        revoke-certificate,--not-after) return ;;
        revoke-certificate,--json) once='true false' ;;
        revoke-certificate,--admin-socket) _certwright_files -f; return ;;
        export-signer-csr,--name | export-signer-csr,-n) return ;;
        export-signer-csr,--json) once='true false' ;;
        export-signer-csr,--admin-socket) _certwright_files -f; return ;;
        import-signer-certificate,--name | import-signer-certificate,-n) return ;;
        import-signer-certificate,--chain-file) _certwright_files -f; return ;;
        import-signer-certificate,--json) once='true false' ;;
        import-signer-certificate,--admin-socket) _certwright_files -f; return ;;
        import-signer,--name | import-signer,-n) return ;;
        import-signer,--key-file) _certwright_files -f; return ;;
        import-signer,--chain-file) _certwright_files -f; return ;;
        import-signer,--crl) _certwright_files -f; return ;;
        import-signer,--no-former-crl) once='true false' ;;
        import-signer,--split-level | import-signer,-s) return ;;
        import-signer,--expiration-event-in | import-signer,-e) return ;;
        import-signer,--delete-protection) once='true false' ;;
        import-signer,--description) return ;;
        import-signer,--tag) return ;;
        import-signer,--json) once='true false' ;;
        import-signer,--admin-socket) _certwright_files -f; return ;;
        rotate-key,--name | rotate-key,-n) return ;;
        rotate-key,--finish) once='true false' ;;
        rotate-key,--json) once='true false' ;;
        rotate-key,--admin-socket) _certwright_files -f; return ;;
        renew-signer-certificate,--name | renew-signer-certificate,-n) return ;;
        renew-signer-certificate,--certificate-ttl) return ;;
        renew-signer-certificate,--json) once='true false' ;;
        renew-signer-certificate,--admin-socket) _certwright_files -f; return ;;
        refresh-key,--name | refresh-key,-n) return ;;
        refresh-key,--new-kek) once='true false' ;;
        refresh-key,--export-fragment) _certwright_files -f; return ;;
        refresh-key,--json) once='true false' ;;
        refresh-key,--admin-socket) _certwright_files -f; return ;;
        accept-clock,--json) once='true false' ;;
        accept-clock,--admin-socket) _certwright_files -f; return ;;
        explain,--order) return ;;
        explain,--domain) return ;;
        explain,--certificate) return ;;
        explain,--json) once='true false' ;;
        explain,--admin-socket) _certwright_files -f; return ;;
        audit,--actor) return ;;
        audit,--action) return ;;
        audit,--object) return ;;
        audit,--outcome) words='done refused' ;;
        audit,--since) return ;;
        audit,--limit) return ;;
        audit,--after) return ;;
        audit,--follow) once='true false' ;;
        audit,--verify) once='true false' ;;
        audit,--json) once='true false' ;;
        audit,--admin-socket) _certwright_files -f; return ;;
        backup,--to) _certwright_files -f; return ;;
        backup,--with-fragments) once='true false' ;;
        backup,--force) once='true false' ;;
        backup,--json) once='true false' ;;
        backup,--admin-socket) _certwright_files -f; return ;;
        restore,--from) _certwright_files -f; return ;;
        restore,--state-dir) _certwright_files -d; return ;;
        restore,--fragment-dir) _certwright_files -d; return ;;
        restore,--crl) _certwright_files -f; return ;;
        restore,--suspend-accounts) once='true false' ;;
        restore,--json) once='true false' ;;
        check,--offline) once='true false' ;;
        check,--state-dir) _certwright_files -d; return ;;
        check,--fragment-dir) _certwright_files -d; return ;;
        check,--json) once='true false' ;;
        check,--admin-socket) _certwright_files -f; return ;;
        status,--json) once='true false' ;;
        status,--admin-socket) _certwright_files -f; return ;;
        config,--offline) once='true false' ;;
        config,--json) once='true false' ;;
        config,--admin-socket) _certwright_files -f; return ;;
    esac
    if [[ $attached ]]; then
        words=${words:-$once}
    fi
    if [[ $words ]]; then
        _certwright_words "$words"
        return
    fi
    case $command in
        serve) once+=' --state-dir --listen --plain-listen --metrics-listen --admin-socket --http-01-port --tls-alpn-01-port --workers --tls-cert --tls-key --blocked-keys --event-command --event-url --retain --retain-records' words='--behind-proxy --fragment-dir --dns-server --validation-allow --validation-deny' ;;
        quickstart) once+=' --data-dir --listen --plain-listen --http-01-port' words='' ;;
        create-dfc-key) once+=' --name --alg --generate-self-signed-certificate --signed-by --certificate-ttl --certificate-format --conf-file-path --certificate-common-name --certificate-organization --certificate-country --certificate-locality --certificate-province --hash-algorithm --split-level --delete-protection --description --json --admin-socket' words='--permitted-domains --permitted-ips --expiration-event-in --tag' ;;
        create-pki-cert-issuer) once+=' --name --ttl --signer-key-name --enable-acme --gw-cluster-url --destination-path --allow-subdomains --disable-wildcards --allow-any-name --server-flag --client-flag --critical-key-usage --not-require-cn --require-eab --tls-issuer --reuse-authorizations --terms-of-service --website --create-private-crl --create-private-ocsp --ocsp-ttl --ocsp-nonce --public-url --delete-protection --description --json --admin-socket' words='--allowed-domains --allowed-ip-sans --key-usage --organizations --organizational-units --country --locality --province --street-address --postal-code --challenges --profiles --caa-identity --expiration-event-in --tag' ;;
        update-pki-cert-issuer) once+=' --name --ttl --signer-key-name --enable-acme --gw-cluster-url --destination-path --allow-subdomains --disable-wildcards --allow-any-name --server-flag --client-flag --critical-key-usage --not-require-cn --require-eab --tls-issuer --reuse-authorizations --terms-of-service --website --create-private-crl --create-private-ocsp --ocsp-ttl --ocsp-nonce --public-url --delete-protection --description --json --admin-socket' words='--allowed-domains --allowed-ip-sans --key-usage --organizations --organizational-units --country --locality --province --street-address --postal-code --challenges --profiles --caa-identity --expiration-event-in --tag' ;;
        describe-item) once+=' --name --display-id --item-id --json --admin-socket' words='' ;;
        list-items) once+=' --type --filter --path --json --admin-socket' words='' ;;
        set-item-state) once+=' --name --desired-state --json --admin-socket' words='' ;;
        update-item) once+=' --name --delete-protection --description --json --admin-socket' words='--tag' ;;
        delete-item) once+=' --name --delete-immediately --force --json --admin-socket' words='' ;;
        client-config) once+=' --cert-issuer-name --client --domain --webroot --with-eab --json --admin-socket' words='' ;;
        trust) once+=' --root --url --cert-issuer-name --fingerprint --print --remove --json --admin-socket' words='' ;;
        generate-acme-eab) once+=' --cert-issuer-name --ttl --uses --no-challenge --authorized-until --contact-note --json --admin-socket' words='--allowed-domains' ;;
        list-acme-eabs) once+=' --cert-issuer-name --json --admin-socket' words='' ;;
        revoke-acme-eab) once+=' --kid --json --admin-socket' words='' ;;
        set-limits) once+=' --cert-issuer-name --acme-account-id --pending-orders --pending-authorizations --failed-validations --certificates-per-week --json --admin-socket' words='' ;;
        renew-soon) once+=' --cert-issuer-name --json --admin-socket' words='' ;;
        list-acme-accounts) once+=' --cert-issuer-name --json --admin-socket' words='' ;;
        deactivate-acme-account) once+=' --cert-issuer-name --acme-account-id --delete-account --json --admin-socket' words='' ;;
        get-certificate-value) once+=' --name --version --json --admin-socket' words='' ;;
        list-certificates) once+=' --name --serial-number --status --expires-within --cert-issuer-name --limit --before --json --admin-socket' words='' ;;
        revoke-certificate) once+=' --name --version --serial-number --reason --invalidity-date --all-of-account --all-of-issuer --yes --signer-key-name --not-after --json --admin-socket' words='' ;;
        export-signer-csr) once+=' --name --json --admin-socket' words='' ;;
        import-signer-certificate) once+=' --name --chain-file --json --admin-socket' words='' ;;
        import-signer) once+=' --name --key-file --chain-file --crl --no-former-crl --split-level --delete-protection --description --json --admin-socket' words='--expiration-event-in --tag' ;;
        rotate-key) once+=' --name --finish --json --admin-socket' words='' ;;
        renew-signer-certificate) once+=' --name --certificate-ttl --json --admin-socket' words='' ;;
        refresh-key) once+=' --name --new-kek --export-fragment --json --admin-socket' words='' ;;
        accept-clock) once+=' --json --admin-socket' words='' ;;
        explain) once+=' --order --domain --certificate --json --admin-socket' words='' ;;
        audit) once+=' --actor --action --object --outcome --since --limit --after --follow --verify --json --admin-socket' words='' ;;
        backup) once+=' --to --with-fragments --force --json --admin-socket' words='' ;;
        restore) once+=' --from --state-dir --suspend-accounts --json' words='--fragment-dir --crl' ;;
        check) once+=' --offline --state-dir --json --admin-socket' words='--fragment-dir' ;;
        status) once+=' --json --admin-socket' words='' ;;
        config) once+=' --offline --json --admin-socket' words='' ;;
        *) return ;;
    esac
    for flag in $once --help; do
        [[ " ${COMP_WORDS[*]:0:COMP_CWORD} " == *" $flag "* ]] || words+=" $flag"
    done
    _certwright_words "$words"
}

# Those of the words that begin like the current one; in a list, like what follows on its last comma.
_certwright_words() {
    local last=$current head=''
    if [[ $list ]]; then
        last=${current##*,}
        head=${current%"$last"}
    fi
    mapfile -t COMPREPLY < <(compgen -P "$head" -W "$1" -- "$last")
}

_certwright_files() {
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen "$1" -- "$current")
}

complete -F _certwright certwright
