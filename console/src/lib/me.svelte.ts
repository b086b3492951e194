// Who is here, and what they may do: what the API would refuse them is not offered.
import { again } from "./again.svelte";
import { api, got } from "./api";

class Me {
  username = $state("");
  name = $state("");
  id = $state("");
  scopes = $state<string[]>([]);
  known = $state(false);

  async load() {
    const [profile, access] = await Promise.all([
      got(api.GET("/api/account/v1/me")),
      got(api.GET("/api/account/v1/me/access")),
    ]);
    this.username = profile.username;
    this.name = profile.display_name || profile.username;
    this.id = profile.id;
    again.begin(profile.id);
    this.scopes = access.scopes;
    this.known = true;
  }

  may(scope: string): boolean {
    return this.scopes.includes(scope);
  }
}

export const me = new Me();
