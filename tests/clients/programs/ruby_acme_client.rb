# frozen_string_literal: true

# Ruby's acme-client, told what to do as drivers/library.rs says.

require 'acme-client'

KEY = 'account.pem'

def main(operation, *arguments)
  case operation
  when 'register' then register(*arguments)
  when 'issue' then issue(*arguments)
  when 'revoke' then connect.revoke(certificate: File.read(arguments.first), reason: 4)
  when 'contact' then connect.account_update(contact: "mailto:#{arguments.first}")
  when 'new-key' then change_key
  when 'deactivate' then connect.account_deactivate
  else raise "no such operation: #{operation}"
  end
end

def register(address)
  File.write(KEY, make_account_key.to_pem)
  connect.new_account(contact: "mailto:#{address}", terms_of_service_agreed: true)
end

def issue(type, key_file, chain_file, *names)
  order = connect.new_order(identifiers: names)
  undo = order.authorizations.map { |authorization| fulfil(authorization, type) }
  await('the order is ready') { order.reload && order.status == 'ready' }
  undo.each(&:call)
  key = OpenSSL::PKey.read(File.read(key_file))
  csr = Acme::Client::CertificateRequest.new(private_key: key, names: names, subject: { common_name: names.first })
  order.finalize(csr: csr)
  await('the certificate is there') { order.reload && order.status == 'valid' }
  File.write(chain_file, order.certificate)
end

def change_key
  key = make_account_key
  connect.account_key_change(new_private_key: key)
  File.write(KEY, key.to_pem)
end

# RSA, since acme-client 2.0.9 drops the leading zeros of an EC key's coordinates, which no server may take (RFC 7518,
# 6.2.1.2): one key in 128 could not register.
def make_account_key
  OpenSSL::PKey::RSA.new(2048)
end

# Answer a challenge; what comes back takes the answer away again.
def fulfil(authorization, type)
  challenge, undo = type == 'dns-01' ? answer_dns(authorization) : answer_http(authorization)
  challenge.request_validation
  await('the challenge is valid') { challenge.reload && challenge.status == 'valid' }
  undo
end

def answer_http(authorization)
  challenge = authorization.http
  file = File.join(ENV.fetch('CHALLENGES'), challenge.token)
  File.write(file, challenge.file_content)
  [challenge, -> { File.delete(file) }]
end

def answer_dns(authorization)
  challenge = authorization.dns
  record = ["#{challenge.record_name}.#{authorization.domain.delete_prefix('*.')}", challenge.record_content]
  system(ENV.fetch('TXT_RECORD'), 'add', *record, exception: true)
  [challenge, -> { system(ENV.fetch('TXT_RECORD'), 'remove', *record, exception: true) }]
end

def await(what)
  deadline = Time.now + 60
  until yield
    raise "not so: #{what}" if Time.now > deadline

    sleep 0.1
  end
end

def connect
  # The library takes kid from the server where it is not told.
  Acme::Client.new(private_key: OpenSSL::PKey.read(File.read(KEY)), directory: ENV.fetch('DIRECTORY'))
end

main(*ARGV)
