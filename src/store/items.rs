//! Items: whatever a command can name.

use super::{MOST_SEEN, Read, Write, damaged};
use crate::clock::Time;
use crate::error::{Error, Result};
use crate::keys::{hex, random};
use rusqlite::Row;
use std::collections::HashMap;

/// What kind of item it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ItemKind {
    Key,
    Issuer,
    Certificate,
}

impl ItemKind {
    /// All of them.
    pub const ALL: [ItemKind; 3] = [ItemKind::Key, ItemKind::Issuer, ItemKind::Certificate];

    /// The name that commands and the database use.
    pub fn as_str(self) -> &'static str {
        match self {
            ItemKind::Key => "DFC_KEY",
            ItemKind::Issuer => "PKI_CERT_ISSUER",
            ItemKind::Certificate => "CERTIFICATE",
        }
    }

    /// Parse that name in any case.
    pub fn parse(text: &str) -> Option<ItemKind> {
        ItemKind::ALL.into_iter().find(|k| k.as_str().eq_ignore_ascii_case(text))
    }
}

/// An item.
#[derive(Clone, Debug)]
pub struct Item {
    /// Row id, which keys, issuers and certificates refer to.
    pub id: i64,
    /// The long public identifier.
    pub item_id: String,
    /// The short public identifier, which stands in URLs.
    pub display_id: String,
    /// The path, with its leading slash.
    pub name: String,
    /// What it is.
    pub kind: ItemKind,
    /// Whether it may be used.
    pub enabled: bool,
    /// When it was made.
    pub created: Time,
    /// When it was last changed.
    pub modified: Time,
    /// Whether it must not be deleted.
    pub delete_protection: bool,
    /// What people say of it.
    pub description: String,
    /// When it will be deleted, if that is pending.
    pub delete_at: Option<Time>,
    /// Its tags, sorted.
    pub tags: Vec<String>,
}

impl Item {
    /// The word that commands show.
    pub fn state(&self) -> &'static str {
        match (self.delete_at, self.enabled) {
            (Some(_), _) => "PendingDeletion",
            (None, true) => "Enabled",
            (None, false) => "Disabled",
        }
    }

    /// The refusal to make another item of this name.
    pub fn name_is_taken(&self) -> Error {
        let how = match self.delete_at {
            None => "choose another name",
            Some(_) => "it waits to be deleted, which delete-item --delete-immediately does at once",
        };
        Error::conflict(format!("{} exists already, as a {}; {how}", self.name, self.kind.as_str()))
    }
}

/// An item to be made.
#[derive(Clone, Debug)]
pub struct NewItem {
    /// The long public identifier.
    pub item_id: String,
    /// The short public identifier.
    pub display_id: String,
    /// The path.
    pub name: String,
    /// What it is.
    pub kind: ItemKind,
    /// Whether it must not be deleted.
    pub delete_protection: bool,
    /// What people say of it.
    pub description: String,
    /// Its tags.
    pub tags: Vec<String>,
}

impl NewItem {
    /// An item of this name, with random identifiers and nothing said of it.
    ///
    /// # Errors
    /// Internal when the system gives no random bytes.
    pub fn new(name: impl Into<String>, kind: ItemKind) -> Result<NewItem> {
        Ok(NewItem {
            item_id: hex(&random::<16>()?),
            display_id: hex(&random::<10>()?),
            name: name.into(),
            kind,
            delete_protection: false,
            description: String::new(),
            tags: Vec::new(),
        })
    }
}

/// Which items to list.
#[derive(Clone, Debug, Default)]
pub struct ItemFilter {
    /// Only this kind.
    pub kind: Option<ItemKind>,
    /// Only names that contain this.
    pub substring: Option<String>,
    /// Only names below this folder, which ends with a slash.
    pub folder: Option<String>,
}

const COLUMNS: &str =
    "id, item_id, display_id, name, kind, enabled, created, modified, delete_protection, description, delete_at";

impl Read<'_> {
    /// The item of this name.
    ///
    /// # Errors
    /// The database's.
    pub fn item_by_name(&self, name: &str) -> Result<Option<Item>> {
        self.item_where("name = ?1 AND deleted IS NULL", name)
    }

    /// What has this name: its row id and kind.
    ///
    /// # Errors
    /// The database's.
    pub fn holder_of_name(&self, name: &str) -> Result<Option<(i64, ItemKind)>> {
        let sql = "SELECT id, kind FROM items WHERE name = ?1 AND deleted IS NULL";
        let found = self.optional(sql, [name], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
        let parsed =
            |(id, kind): (_, String)| Ok((id, ItemKind::parse(&kind).ok_or_else(|| damaged("an item of a kind"))?));
        found.map(parsed).transpose()
    }

    /// The item with this short identifier.
    ///
    /// # Errors
    /// The database's.
    pub fn item_by_display_id(&self, display_id: &str) -> Result<Option<Item>> {
        self.item_where("display_id = ?1 AND deleted IS NULL", display_id)
    }

    /// The deleted item that had this short identifier.
    ///
    /// # Errors
    /// The database's.
    pub fn deleted_item(&self, display_id: &str) -> Result<Option<Item>> {
        self.item_where("display_id = ?1 AND deleted IS NOT NULL", display_id)
    }

    /// The item with this long identifier.
    ///
    /// # Errors
    /// The database's.
    pub fn item_by_item_id(&self, item_id: &str) -> Result<Option<Item>> {
        self.item_where("item_id = ?1 AND deleted IS NULL", item_id)
    }

    /// The item with this row id.
    ///
    /// # Errors
    /// The database's; Internal when there is none.
    pub fn item(&self, id: i64) -> Result<Item> {
        self.item_where("id = ?1", id)?.ok_or_else(|| Error::internal(format!("item {id} is gone")))
    }

    /// All items that a filter lets through, by name.
    ///
    /// # Errors
    /// The database's.
    pub fn items(&self, filter: &ItemFilter) -> Result<Vec<Item>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM items WHERE deleted IS NULL
             AND (?1 IS NULL OR kind = ?1) AND (?2 IS NULL OR instr(name, ?2) > 0)
             AND (?3 IS NULL OR substr(name, 1, length(?3)) = ?3) ORDER BY name"
        );
        let parameters = (filter.kind.map(ItemKind::as_str), &filter.substring, &filter.folder);
        let rows = self.all(&sql, parameters, |row| Ok(item_from(row)))?;
        let mut tags: HashMap<i64, Vec<String>> = HashMap::new();
        for (item, tag) in self.all("SELECT item, tag FROM item_tags ORDER BY item, tag", [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get(1)?))
        })? {
            tags.entry(item).or_default().push(tag);
        }
        rows.into_iter()
            .map(|row| {
                let mut item = row?;
                item.tags = tags.remove(&item.id).unwrap_or_default();
                Ok(item)
            })
            .collect()
    }

    /// See the name of every item of a kind, or of the newest hundred thousand.
    ///
    /// # Errors
    /// The database's.
    pub fn each_item_name(&self, kind: ItemKind, mut see: impl FnMut(&str)) -> Result<()> {
        // Keys and issuers are few, and are found without a walk over all certificates.
        let which = match kind {
            ItemKind::Key => "id IN (SELECT item FROM keys)",
            ItemKind::Issuer => "id IN (SELECT item FROM issuers)",
            ItemKind::Certificate => "kind = 'CERTIFICATE'",
        };
        let sql =
            format!("SELECT name FROM items WHERE {which} AND deleted IS NULL ORDER BY id DESC LIMIT {MOST_SEEN}");
        self.each(&sql, [], |row| Ok(row.get_ref(0)?.as_str().map(&mut see)?))
    }

    /// Whether an item is there, enabled, and not about to be deleted.
    ///
    /// # Errors
    /// The database's.
    pub fn is_usable(&self, id: i64) -> Result<bool> {
        let sql = "SELECT 1 FROM items WHERE id = ?1 AND enabled = 1 AND delete_at IS NULL AND deleted IS NULL";
        Ok(self.optional(sql, [id], |_| Ok(()))?.is_some())
    }

    /// The items whose deletion is due. One that was protected meanwhile stays until that is lifted.
    ///
    /// # Errors
    /// The database's.
    pub fn items_due_for_deletion(&self, now: Time) -> Result<Vec<i64>> {
        self.all(
            "SELECT id FROM items WHERE delete_at <= ?1 AND deleted IS NULL AND delete_protection = 0",
            [now],
            |row| row.get(0),
        )
    }

    fn item_where(&self, condition: &str, value: impl rusqlite::ToSql) -> Result<Option<Item>> {
        let sql = format!("SELECT {COLUMNS} FROM items WHERE {condition}");
        match self.optional(&sql, [value], |row| Ok(item_from(row)))? {
            Some(item) => self.with_tags(item?).map(Some),
            None => Ok(None),
        }
    }

    fn with_tags(&self, mut item: Item) -> Result<Item> {
        item.tags = self.all("SELECT tag FROM item_tags WHERE item = ?1 ORDER BY tag", [item.id], |row| row.get(0))?;
        Ok(item)
    }
}

impl Write<'_> {
    /// Make an item.
    ///
    /// # Errors
    /// Conflict when the name is taken.
    pub fn insert_item(&self, item: &NewItem, now: Time) -> Result<i64> {
        if let Some(taken) = self.item_by_name(&item.name)? {
            return Err(taken.name_is_taken());
        }
        let id = self.insert(
            "INSERT INTO items (item_id, display_id, name, kind, created, modified, delete_protection, description)
             VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6, ?7)",
            (
                &item.item_id,
                &item.display_id,
                &item.name,
                item.kind.as_str(),
                now,
                item.delete_protection,
                &item.description,
            ),
        )?;
        self.insert_tags(id, &item.tags)?;
        Ok(id)
    }

    /// Change what people say of an item, its protection, its tags; `None` leaves a thing as it is.
    ///
    /// # Errors
    /// The database's.
    pub fn update_item(
        &self,
        id: i64,
        now: Time,
        delete_protection: Option<bool>,
        description: Option<&str>,
        tags: Option<&[String]>,
    ) -> Result<()> {
        self.execute(
            "UPDATE items SET modified = ?2, delete_protection = coalesce(?3, delete_protection),
             description = coalesce(?4, description) WHERE id = ?1",
            (id, now, delete_protection, description),
        )?;
        match tags {
            Some(tags) => self.set_tags(id, tags),
            None => Ok(()),
        }
    }

    /// Enable or disable an item; a pending deletion ends.
    ///
    /// # Errors
    /// Conflict when it was deleted meanwhile.
    pub fn set_item_enabled(&self, id: i64, enabled: bool, now: Time) -> Result<()> {
        let changed = self.execute(
            "UPDATE items SET enabled = ?2, delete_at = NULL, modified = ?3 WHERE id = ?1 AND deleted IS NULL",
            (id, enabled, now),
        )?;
        must_be_there(changed)
    }

    /// Delete an item at a later time; it is disabled until then.
    ///
    /// # Errors
    /// Conflict when it was deleted or protected meanwhile.
    pub fn schedule_item_deletion(&self, id: i64, at: Time, now: Time) -> Result<()> {
        let changed = self.execute(
            "UPDATE items SET enabled = 0, delete_at = ?2, modified = ?3
             WHERE id = ?1 AND deleted IS NULL AND delete_protection = 0",
            (id, at, now),
        )?;
        must_be_there(changed)
    }

    /// Take an item out of sight; its name is free again.
    ///
    /// # Errors
    /// Conflict when it was deleted or protected meanwhile.
    pub fn delete_item(&self, id: i64, now: Time) -> Result<()> {
        let changed = self.execute(
            "UPDATE items SET enabled = 0, deleted = ?2, modified = ?2
             WHERE id = ?1 AND deleted IS NULL AND delete_protection = 0",
            (id, now),
        )?;
        must_be_there(changed)
    }

    fn set_tags(&self, id: i64, tags: &[String]) -> Result<()> {
        self.execute("DELETE FROM item_tags WHERE item = ?1", [id])?;
        self.insert_tags(id, tags)
    }

    fn insert_tags(&self, id: i64, tags: &[String]) -> Result<()> {
        for tag in tags {
            self.execute("INSERT OR IGNORE INTO item_tags (item, tag) VALUES (?1, ?2)", (id, tag))?;
        }
        Ok(())
    }
}

fn must_be_there(changed: usize) -> Result<()> {
    if changed == 1 {
        Ok(())
    } else {
        Err(Error::conflict("the item was deleted or changed meanwhile; look at it again"))
    }
}

fn item_from(row: &Row<'_>) -> Result<Item> {
    let kind: String = row.get(4)?;
    Ok(Item {
        id: row.get(0)?,
        item_id: row.get(1)?,
        display_id: row.get(2)?,
        name: row.get(3)?,
        kind: ItemKind::parse(&kind).ok_or_else(|| damaged("an item of a kind"))?,
        enabled: row.get(5)?,
        created: row.get(6)?,
        modified: row.get(7)?,
        delete_protection: row.get(8)?,
        description: row.get(9)?,
        delete_at: row.get(10)?,
        tags: Vec::new(),
    })
}
