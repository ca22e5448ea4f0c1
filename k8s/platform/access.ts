import type * as pulumi from "@pulumi/pulumi";

/** TLS modes of libpq. */
export const SSL_MODES = ["disable", "prefer", "require", "verify-ca", "verify-full"] as const;

/** A PostgreSQL database and a login that owns it: all a client needs. */
export interface DatabaseAccess {
  readonly host: pulumi.Input<string>;
  readonly port: number;
  /** Database name. */
  readonly name: pulumi.Input<string>;
  readonly username: pulumi.Input<string>;
  /** A secret. */
  readonly password: pulumi.Input<string>;
  readonly sslMode: (typeof SSL_MODES)[number];
  /** Authority that signed the server's certificate, PEM. @default the public ones of the image */
  readonly caCertificate?: pulumi.Input<string>;
}

/** A bucket of an S3 store and a login for it: all a client needs. */
export interface BucketAccess {
  /** URL of the S3 API with scheme, no path. */
  readonly endpoint: pulumi.Input<string>;
  readonly bucket: pulumi.Input<string>;
  readonly region: pulumi.Input<string>;
  readonly accessKeyId: pulumi.Input<string>;
  /** A secret. */
  readonly secretAccessKey: pulumi.Input<string>;
}
