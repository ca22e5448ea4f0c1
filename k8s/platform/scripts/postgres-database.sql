-- Values come from the environment, so that the password is in no argument list.
\getenv name DATABASE_NAME
\getenv owner DATABASE_OWNER
\getenv password DATABASE_PASSWORD

-- A statement that fails is not written to the server's log: one of them holds the password.
SET log_statement = 'none';
SET log_min_error_statement = 'panic';

SELECT format('CREATE ROLE %I LOGIN', :'owner')
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'owner') \gexec

SELECT format('ALTER ROLE %I LOGIN PASSWORD %L', :'owner', :'password') \gexec

SELECT format('CREATE DATABASE %I OWNER %I', :'name', :'owner')
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'name') \gexec

-- Every role sees its own database only.
SELECT format('REVOKE CONNECT, TEMPORARY ON DATABASE %I FROM PUBLIC', :'name') \gexec

\echo database :name of :owner ready
