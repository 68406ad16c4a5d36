//! Distinguished names (RFC 5280, 4.1.2.4).

use crate::der::{self, Reader, oid};
use crate::error::{Error, Result};
use crate::identifier::printable;
use crate::keys::hex;

/// The attributes that a subject may have here, in the order in which they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Attribute {
    Country,
    Province,
    Locality,
    StreetAddress,
    PostalCode,
    Organization,
    OrganizationalUnit,
    CommonName,
}

impl Attribute {
    const ALL: [Attribute; 8] = [
        Attribute::Country,
        Attribute::Province,
        Attribute::Locality,
        Attribute::StreetAddress,
        Attribute::PostalCode,
        Attribute::Organization,
        Attribute::OrganizationalUnit,
        Attribute::CommonName,
    ];

    /// The long and the short name that OpenSSL has for it.
    pub fn names(self) -> [&'static str; 2] {
        match self {
            Attribute::Country => ["countryName", "C"],
            Attribute::Province => ["stateOrProvinceName", "ST"],
            Attribute::Locality => ["localityName", "L"],
            Attribute::StreetAddress => ["streetAddress", "street"],
            Attribute::PostalCode => ["postalCode", "postalCode"],
            Attribute::Organization => ["organizationName", "O"],
            Attribute::OrganizationalUnit => ["organizationalUnitName", "OU"],
            Attribute::CommonName => ["commonName", "CN"],
        }
    }

    /// The attribute that OpenSSL calls so, in any case.
    pub fn parse(name: &str) -> Option<Attribute> {
        Attribute::ALL.into_iter().find(|a| a.names().iter().any(|n| n.eq_ignore_ascii_case(name)))
    }

    fn oid(self) -> &'static [u8] {
        match self {
            Attribute::Country => oid::COUNTRY,
            Attribute::Province => oid::STATE,
            Attribute::Locality => oid::LOCALITY,
            Attribute::StreetAddress => oid::STREET,
            Attribute::PostalCode => oid::POSTAL_CODE,
            Attribute::Organization => oid::ORGANIZATION,
            Attribute::OrganizationalUnit => oid::ORGANIZATIONAL_UNIT,
            Attribute::CommonName => oid::COMMON_NAME,
        }
    }

    /// The upper bounds of RFC 5280, appendix A.1, in characters.
    fn bound(self) -> usize {
        match self {
            Attribute::Country => 2,
            Attribute::PostalCode => 40,
            Attribute::Organization | Attribute::OrganizationalUnit | Attribute::CommonName => 64,
            Attribute::Province | Attribute::Locality | Attribute::StreetAddress => 128,
        }
    }
}

/// A distinguished name; attributes stand in the order of [`Attribute`], equal ones as they were added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DistinguishedName(Vec<(Attribute, String)>);

impl DistinguishedName {
    /// Add a value.
    ///
    /// # Errors
    /// Malformed when the value is empty, too long, has control characters, or is a country that is not two letters.
    pub fn add(&mut self, attribute: Attribute, value: &str) -> Result<()> {
        let [name, _] = attribute.names();
        let wrong = |why: String| Err(Error::malformed(format!("{name}: {why}")));
        if value.trim().is_empty() {
            return wrong("the value is empty".into());
        }
        if value.chars().any(char::is_control) {
            return wrong("the value has control characters".into());
        }
        if attribute == Attribute::Country && !(value.len() == 2 && value.bytes().all(|b| b.is_ascii_alphabetic())) {
            return wrong(format!("\"{value}\" is not a country code of two letters"));
        }
        if value.chars().count() > attribute.bound() {
            return wrong(format!("the value has more than {} characters", attribute.bound()));
        }
        let value = if attribute == Attribute::Country { value.to_ascii_uppercase() } else { value.to_owned() };
        let at = self.0.iter().take_while(|(a, _)| *a <= attribute).count();
        self.0.insert(at, (attribute, value));
        Ok(())
    }

    /// Take away all values of an attribute, so that others can stand in their place.
    pub fn clear(&mut self, attribute: Attribute) {
        self.0.retain(|(a, _)| *a != attribute);
    }

    /// Whether there is no attribute at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The common name, if there is one.
    pub fn common_name(&self) -> Option<&str> {
        self.0.iter().find(|(a, _)| *a == Attribute::CommonName).map(|(_, v)| v.as_str())
    }

    /// The DER of the Name: one attribute in each RDN, PrintableString for the country, UTF8String for the rest.
    pub fn to_der(&self) -> Vec<u8> {
        let rdns: Vec<Vec<u8>> = self
            .0
            .iter()
            .map(|(attribute, value)| {
                let string = if *attribute == Attribute::Country { der::PRINTABLE_STRING } else { der::UTF8_STRING };
                let pair = [der::object_identifier(attribute.oid()), der::element(string, value.as_bytes())];
                der::set_of(vec![der::sequence(&pair)])
            })
            .collect();
        der::sequence(&rdns)
    }
}

/// A Name as people write it (RFC 4514, without its escapes): `C=US, O=Acme, CN=acme.com`, in the order of the certificate.
/// Attributes that have no name here are told by their encoding.
///
/// # Errors
/// Malformed when it is not a Name.
pub fn name_to_text(name: &[u8]) -> Result<String> {
    let mut rdns = Reader::new(name).enter(der::SEQUENCE)?;
    let mut parts = Vec::new();
    while !rdns.is_empty() {
        let mut pairs = rdns.enter(der::SET)?;
        while !pairs.is_empty() {
            let mut pair = pairs.enter(der::SEQUENCE)?;
            let attribute = pair.read(der::OID)?;
            let (_, value, _) = pair.any()?;
            let known = Attribute::ALL.into_iter().find(|a| a.oid() == attribute);
            let called = known.map_or_else(|| format!("#{}", hex(attribute)), |a| a.names()[1].to_owned());
            parts.push(format!("{called}={}", printable(&String::from_utf8_lossy(value))));
        }
    }
    Ok(if parts.is_empty() { "an empty name".to_owned() } else { parts.join(", ") })
}

/// The DER of the Name that a signer's next key gets: the same with ` G2` at the end of its common name, or the next
/// number where it ends with one already, so that the two are never taken for each other.
///
/// # Errors
/// Malformed when it is not a Name, or has no common name.
pub fn next_generation(name: &[u8]) -> Result<Vec<u8>> {
    let mut rdns = Reader::new(name).enter(der::SEQUENCE)?;
    let mut renamed = Vec::new();
    let mut has_common_name = false;
    while !rdns.is_empty() {
        let (_, content, whole) = rdns.any()?;
        let mut pairs = Reader::new(content);
        let mut pair = pairs.enter(der::SEQUENCE)?;
        let attribute = pair.read(der::OID)?;
        let (string, value, _) = pair.any()?;
        if attribute != oid::COMMON_NAME {
            renamed.push(whole.to_vec());
            continue;
        }
        if !pairs.is_empty() || !matches!(string, der::UTF8_STRING | der::PRINTABLE_STRING) {
            return Err(Error::malformed(
                "the common name of the signer's certificate is written in a way that the next one's cannot follow",
            ));
        }
        has_common_name = true;
        let text = std::str::from_utf8(value).map_err(|_| Error::malformed("the common name is not text"))?;
        let next = next_common_name(text);
        let pair = [der::object_identifier(attribute), der::element(der::UTF8_STRING, next.as_bytes())];
        renamed.push(der::set_of(vec![der::sequence(&pair)]));
    }
    if has_common_name {
        Ok(der::sequence(&renamed))
    } else {
        Err(Error::malformed("the signer's certificate has no common name, which the next one's could follow"))
    }
}

fn next_common_name(text: &str) -> String {
    let numbered = text.rsplit_once(" G").and_then(|(base, number)| Some((base, number.parse::<u32>().ok()?)));
    let (base, number) = numbered.unwrap_or((text, 1));
    let suffix = format!(" G{}", number.saturating_add(1));
    let room = Attribute::CommonName.bound().saturating_sub(suffix.len());
    base.chars().take(room).chain(suffix.chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_key_of_a_signer_has_a_name_of_its_own() {
        assert_eq!(next_common_name("Home CA"), "Home CA G2");
        assert_eq!(next_common_name("Home CA G9"), "Home CA G10");
        assert_eq!(next_common_name("Home Gx"), "Home Gx G2");
        assert_eq!(next_common_name(&"é".repeat(64)).chars().count(), 64);
        let mut name = DistinguishedName::default();
        name.add(Attribute::Organization, "Acme").unwrap();
        assert!(next_generation(&name.to_der()).is_err(), "nothing to number");
        name.add(Attribute::CommonName, "Home CA").unwrap();
        let mut next = DistinguishedName::default();
        next.add(Attribute::Organization, "Acme").unwrap();
        next.add(Attribute::CommonName, "Home CA G2").unwrap();
        assert_eq!(next_generation(&name.to_der()).unwrap(), next.to_der());
    }

    #[test]
    fn names_are_told_as_people_write_them() {
        let mut name = DistinguishedName::default();
        name.add(Attribute::CommonName, "Home CA").unwrap();
        name.add(Attribute::Country, "us").unwrap();
        assert_eq!(name_to_text(&name.to_der()).unwrap(), "C=US, CN=Home CA");
        // serialNumber, in a TeletexString with a control character.
        let pair = [der::object_identifier(&[0x55, 0x04, 0x05]), der::element(0x14, b"a\nb")];
        let odd = der::sequence(&[der::set_of(vec![der::sequence(&pair)])]);
        assert_eq!(name_to_text(&odd).unwrap(), "#550405=a\u{fffd}b");
        assert_eq!(name_to_text(&der::sequence::<&[u8]>(&[])).unwrap(), "an empty name");
        assert!(name_to_text(b"x").is_err());
    }

    #[test]
    fn attributes_are_checked_and_sorted() {
        let mut name = DistinguishedName::default();
        name.add(Attribute::CommonName, "acme.com").unwrap();
        name.add(Attribute::Country, "us").unwrap();
        assert_eq!(name.0[0], (Attribute::Country, "US".into()));
        for (attribute, value) in [
            (Attribute::Country, "USA"),
            (Attribute::Country, "1é"),
            (Attribute::CommonName, ""),
            (Attribute::Organization, "a\nb"),
            (Attribute::CommonName, &"x".repeat(65)),
        ] {
            assert!(name.add(attribute, value).is_err(), "{value}");
        }
    }
}
