import { createHash } from "node:crypto";

/**
 * A line of an htpasswd file with a salted SHA-1, which nginx and Apache read. Fit for generated passwords only: a hash
 * this fast does not protect one that can be guessed. The salt comes from the password, so that the same one always gives
 * the same line.
 */
export function htpasswdLine(user: string, password: string): string {
  const salt = createHash("sha256").update(`salt of ${password}`).digest().subarray(0, 8);
  const digest = createHash("sha1").update(password).update(salt).digest();
  return `${user}:{SSHA}${Buffer.concat([digest, salt]).toString("base64")}\n`;
}
