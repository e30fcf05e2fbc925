/** `npm run lab -- …`: the lab's own command line (test/lab/README.md); it reads our arguments. */
await import('../test/lab/cli.ts');
